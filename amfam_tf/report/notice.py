"""What everything that shows a result says about it."""

TOOL = "A research tool, not a medical device"
SAYS_NOTHING = "no number here says anything about a patient."
RESEARCH_ONLY = f"{TOOL}: {SAYS_NOTHING}"
