"""Uses the HTTP API as the uploader: uploads, promotes and finds package files."""
