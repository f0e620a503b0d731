"""What a decision says as bytes, and who signed them. Pure, but for the cryptographic library; it reads no file."""
