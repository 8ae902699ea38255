"""What is done about a request: policies, what they say of one request, and the ladder of steps. Pure."""
