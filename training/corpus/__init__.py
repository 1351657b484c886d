"""Text for continued pre-training: facts with their answers, aligned names, or aligned lines of the user."""
