"""The probe's parts: `seen` says what is recorded, `run` follows one request, `faults` and `neighbours` disturb it."""
