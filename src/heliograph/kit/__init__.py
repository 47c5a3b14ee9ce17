"""Small tools with no knowledge of SMS."""
