"""Where mirrors of the original packrat agent have Python packages; direct links of clients lead there."""


def former_place(file_name: str) -> str:
    """Give packages/<first six characters of the file's name before its first dash>/<file>."""
    return f"packages/{file_name.partition('-')[0][:6]}/{file_name}"
