from staa_cli.evaluation.base import Trial, metric


@metric(source="a package of the tests", better="higher")
def peak_share(trial: Trial) -> float:
    """Share of the strongest token in all of them."""
    return float(trial.values.max() / trial.values.sum())
