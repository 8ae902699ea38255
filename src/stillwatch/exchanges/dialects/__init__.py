"""One file a log format; each maps its own fields onto `exchange/1`."""
