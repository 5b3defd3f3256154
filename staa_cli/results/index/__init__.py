"""A folder of results as a whole: index.json, and what is made from it, without model or videos."""
