"""VideoMAE: joint attention over tubelets, averaged."""
