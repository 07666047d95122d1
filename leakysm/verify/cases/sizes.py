def of(operation):
    return []
