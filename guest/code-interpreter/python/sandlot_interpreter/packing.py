"""How the kernel writes its messages."""

import json

from jupyter_client.jsonutil import json_clean, json_default
from jupyter_client.session import json_packer


def pack(content):
    """JSON as Jupyter packs it; half of a surrogate pair, which UTF-8 cannot hold and Jupyter fails at, becomes an escape."""
    try:
        return json_packer(content)
    except UnicodeEncodeError:
        return json.dumps(json_clean(content), default=json_default, allow_nan=False).encode()
