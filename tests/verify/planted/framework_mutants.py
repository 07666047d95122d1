def framework_mutants():
    return ()
