"""What the infotext and extensions ask of the WebUI's launcher."""


def git_tag():
    return "v1.10.1-minihost"
