"""Shows pictures of Pillow: as there is no screen, a saved picture becomes a result, and `show` does nothing."""

import functools
import os
import sys


def change(module):
    """@param module PIL.Image"""
    kernel_pid = os.getpid()
    save = module.Image.save

    @functools.wraps(save)
    def save_and_show(self, fp, format=None, **params):
        __tracebackhide__ = True  # hides this frame from tracebacks of IPython, as users did not call it
        save(self, fp, format, **params)
        if _is_file(fp) and os.getpid() == kernel_pid and not _is_matplotlib(sys._getframe(1)):
            from IPython.display import display

            display(self)

    def show(self, title=None):
        """Does nothing, because the value of the last expression, `display(image)` and `image.save(path)` show a picture."""

    module.Image.save = save_and_show
    module.Image.show = show


def _is_file(fp):
    """Excludes bytes in memory, which the program uses otherwise."""
    return isinstance(fp, (str, os.PathLike))


def _is_matplotlib(frame):
    """Excludes figures, which are saved with Pillow but are already shown with their chart."""
    return frame.f_globals.get("__name__", "").partition(".")[0] == "matplotlib"
