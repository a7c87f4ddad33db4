"""Draws a labelled data set in the Derm7pt release layout, so that everything can be tried without the real one.

Nothing of a real picture is used. One concept per file: `marginals` and `labels` decide what each case has,
`metadata` the other columns, `lesion` the outline and colour, one file per checklist criterion, `clinical` and
`dermoscopic` the two pictures, `release` the files.
"""

from amfam_tf.data.synthetic.case import draw_case
from amfam_tf.data.synthetic.contact_sheet import contact_sheet
from amfam_tf.data.synthetic.labels import sample_labels
from amfam_tf.data.synthetic.release import write_release

__all__ = ["contact_sheet", "draw_case", "sample_labels", "write_release"]
