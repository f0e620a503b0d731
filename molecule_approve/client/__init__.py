"""Talking to a platform: the contract, its implementation over REST and WebSocket, and the wait."""
