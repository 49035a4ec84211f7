"""AutoGraph: Python control flow over tensors becomes control flow of the graph.

A function is converted once, when it is first traced: its syntax tree is rewritten so that `if`, `while`, `for`, `and`,
`or`, `not`, comparisons in a chain, conditional expressions, `assert` and calls ask `operators` what to do. Those look at
the values: with Python values they do what Python does, with symbolic tensors they build If and While ops. The new
tree is compiled under the user's own file name and line numbers, so that tracebacks, debuggers and the places of
operations are the user's without any translation.

    source       the syntax tree of a function
    jumps        return, break and continue become flags and branches
    liveness     which variables are read again later
    transform    the rewriting
    conversion   what is converted, when; the cache
    state        the variables that a branch or loop changes
    operators    what converted code calls
    loops        loops over tensors
    substitutes  what converted code calls in place of Python's print, len, range ...
"""
