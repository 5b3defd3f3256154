"""The bundled models: recipes, training, export, and the sample videos."""
