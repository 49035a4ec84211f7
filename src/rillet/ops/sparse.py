"""(A colleague is writing SparseTensor and tf.sparse here, and its ops in ops/sparse.py, now.)"""
