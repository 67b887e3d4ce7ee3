"""Reports as text, JSON, SARIF and HTML."""
