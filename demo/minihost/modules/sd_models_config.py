"""The yaml beside a checkpoint, if there is one."""
import os


def find_checkpoint_config_near_filename(info):
    if info is None:
        return None
    path = os.path.splitext(info.filename)[0] + ".yaml"
    return path if os.path.exists(path) else None
