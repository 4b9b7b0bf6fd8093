"""The console's bar for the whole job; minihost prints none."""


class TotalTQDM:
    def __init__(self):
        pass

    def reset(self):
        pass

    def update(self):
        pass

    def updateTotal(self, new_total):
        pass

    def clear(self):
        pass
