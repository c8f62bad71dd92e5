"""Looks of what proponents are ranked by: our scores, and baselines."""

# Okabe and Ito's colours; of our scores, one for each kind and a line for each set of checkpoints.
COSINE, DOT = "#0072B2", "#D55E00"
SCORERS = {
    "cosine, all checkpoints": {"color": COSINE, "marker": "o", "ls": "-"},
    "cosine, last checkpoint": {"color": COSINE, "marker": "s", "ls": "--"},
    "cosine, classifier alone": {"color": COSINE, "marker": "v", "ls": ":"},
    "dot, all checkpoints": {"color": DOT, "marker": "o", "ls": "-"},
    "dot, last checkpoint": {"color": DOT, "marker": "s", "ls": "--"},
    "dot, classifier alone": {"color": DOT, "marker": "v", "ls": ":"},
    "encoder cosine": {"color": "#009E73", "marker": "D", "ls": "-"},
    "BM25": {"color": "#CC79A7", "marker": "^", "ls": "-"},
    "random": {"color": "#000000", "marker": "x", "ls": "-"},
}
