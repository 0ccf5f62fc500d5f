"""The built-in web server, and the site files for nginx and Apache."""
