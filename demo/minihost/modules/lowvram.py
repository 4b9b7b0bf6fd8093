"""--lowvram and --medvram do nothing on minihost."""


def is_enabled(sd_model):
    return sd_model.lowvram


def is_needed(sd_model):
    return False


def send_everything_to_cpu():
    pass


def apply(sd_model):
    sd_model.lowvram = False
