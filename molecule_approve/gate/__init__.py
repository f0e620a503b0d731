"""The use case: may I ask, record, ask, wait, record, verdict. It knows interfaces, and neither libraries nor terminals."""
