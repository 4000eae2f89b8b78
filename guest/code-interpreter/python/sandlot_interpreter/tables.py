"""DataFrames as columns."""

from .plain import plain

# Above it the text and HTML, which pandas shortens, have to do.
CELLS_MAX = 1_000_000


def columns(frame):
    """`{column: [values]}`; None when the frame is larger than a message should be. Of columns with one name the last counts."""
    if frame.size > CELLS_MAX:
        return None
    return {str(name): [plain(value) for value in frame.iloc[:, index].tolist()] for index, name in enumerate(frame.columns)}
