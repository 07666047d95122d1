"""Tools for those who build leakysm: profilers, and what each trick of an engine gains. They are not installed."""
