"""How right an attribution is: against ground truth, and in comparison with trivial baselines."""
