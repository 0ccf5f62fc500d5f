"""Who calls: passwords, sessions, the delays after wrong logins, and what each caller may see and download."""
