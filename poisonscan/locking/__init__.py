"""Lock files: what a model or dataset was when somebody looked, against a silent swap."""
