"""The audit log: JSON Lines, chained, appended durably, followed and verified. No platform and no terminal is known here."""
