"""Pictures of Pillow: nobody looks at a screen here, so that one which is saved is shown as a result, and `show` does nothing."""

import functools
import os
import sys


def change(module):
    """@param module PIL.Image"""
    kernel_pid = os.getpid()
    save = module.Image.save

    @functools.wraps(save)
    def save_and_show(self, fp, format=None, **params):
        __tracebackhide__ = True  # for IPython: who reads of a failure has not called this
        save(self, fp, format, **params)
        if _is_file(fp) and os.getpid() == kernel_pid and not _is_matplotlib(sys._getframe(1)):
            from IPython.display import display

            display(self)

    def show(self, title=None):
        """Does nothing: the value of the last expression, `display(image)` and `image.save(path)` show a picture."""

    module.Image.save = save_and_show
    module.Image.show = show


def _is_file(fp):
    """Bytes in memory go on to somewhere else."""
    return isinstance(fp, (str, os.PathLike))


def _is_matplotlib(frame):
    """Figures are saved with Pillow; they are shown by themselves, with their chart."""
    return frame.f_globals.get("__name__", "").partition(".")[0] == "matplotlib"
