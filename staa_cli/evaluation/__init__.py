"""How good an explanation of one video is: faithfulness, localization, sanity checks."""
