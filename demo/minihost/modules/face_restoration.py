"""Face restoration: the first restorer there is; minihost has none, so faces stay as they are."""
from modules import shared


class FaceRestoration:
    def name(self):
        return "None"

    def restore(self, np_image):
        return np_image


def restore_faces(np_image):
    restorer = next((known for known in shared.face_restorers if known.name() == shared.opts.face_restoration_model), None)
    return np_image if restorer is None else restorer.restore(np_image)
