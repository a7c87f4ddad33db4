"""Python imports this at its start where this folder is on PYTHONPATH: the slow parts of the steps are replaced."""

import stand_ins

stand_ins.install_when_loaded()
