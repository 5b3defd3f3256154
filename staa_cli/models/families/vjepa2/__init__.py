"""V-JEPA 2: joint attention with rotary positions, read by an attentive pooler."""
