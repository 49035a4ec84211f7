"""Linear algebra rows: products, contractions, decompositions, solvers, and what is built from them."""

from __future__ import annotations

from typing import Any

from tests.ops.harness import Bad, Row, public, table
from tests.ops.inputs import (
    COMPLEX,
    FLOATS,
    SINGLE,
    anything,
    between,
    distinct,
    nonzero,
    positive,
    positive_definite,
    small,
    symmetric,
    values,
    well_conditioned,
)

MATRIX = (*SINGLE, *COMPLEX)
PRODUCTS_OF = (*FLOATS, "int32", "int64", *COMPLEX)
BOTH = ("float64", "complex128")

PRODUCTS = [
    Row(
        "matmul",
        lambda tf, x, y: tf.matmul(x, y),
        [anything(3, 4), anything(4, 2)],
        PRODUCTS_OF,
        {"one": [(1, 1), (1, 1)], "empty": [(0, 4), None], "hollow": [(3, 0), (0, 2)], "column": [None, (4, 1)]},
        gradient_dtypes=BOTH,
        smoke=True,
        errors=[
            Bad(
                lambda tf, x, y: tf.matmul(x, y),
                [[[1.0, 2.0]], [[1.0, 2.0]]],
                ("InvalidArgumentError", "Matrix size-incompatible: In[0]: [1,2], In[1]: [1,2]"),
                ("ValueError", "Dimensions must be equal, but are 2 and 1"),
            ),
            Bad(
                lambda tf, x, y: tf.matmul(x, y),
                [[1.0, 2.0], [[1.0], [2.0]]],
                ("InvalidArgumentError", "In[0] and In[1] has different ndims"),
                ("ValueError", "Shape must be rank 2 but is rank 1"),
            ),
        ],
    ),
    *(
        Row(
            f"matmul[{label}]",
            lambda tf, x, y, keywords=keywords: tf.matmul(x, y, **keywords),
            [anything(*left), anything(*right)],
            ("float32", "float64", "int32", "complex64", "complex128"),
            gradient_dtypes=BOTH,
        )
        for label, keywords, left, right in (
            ("transpose_a", {"transpose_a": True}, (4, 3), (4, 2)),
            ("transpose_b", {"transpose_b": True}, (3, 4), (2, 4)),
            ("both", {"transpose_a": True, "transpose_b": True}, (4, 3), (2, 4)),
            ("adjoint_a", {"adjoint_a": True}, (4, 3), (4, 2)),
            ("adjoint_b", {"adjoint_b": True}, (3, 4), (2, 4)),
            ("batch,transpose_a", {"transpose_a": True}, (2, 4, 3), (2, 4, 2)),
            ("batch,transpose_b", {"transpose_b": True}, (2, 3, 4), (2, 2, 4)),
            ("batch,adjoint_b", {"adjoint_b": True}, (2, 3, 4), (2, 2, 4)),
        )
    ),
    Row(
        "matmul[batch]",
        lambda tf, x, y: tf.matmul(x, y),
        [anything(2, 3, 4), anything(2, 4, 2)],
        PRODUCTS_OF,
        {"broadcast": [(2, 1, 3, 4), (3, 4, 2)], "left": [(3, 4), None], "empty": [(0, 3, 4), (0, 4, 2)]},
        gradient_dtypes=BOTH,
    ),
    Row("operators.matmul", lambda tf, x, y: x @ y, [anything(3, 4), anything(4, 2)], SINGLE),
    Row(
        "compat.v1.matmul",
        lambda tf, x, y: tf.compat.v1.matmul(x, y, transpose_b=True, a_is_sparse=True),
        [small(3, 4), small(2, 4)],
        ("float32",),
        gradient_dtypes=("float32",),
    ),
    Row(
        "raw_ops.BatchMatMul",
        lambda tf, x, y: tf.raw_ops.BatchMatMul(x=x, y=y, adj_y=True),
        [anything(2, 3, 4), anything(2, 2, 4)],
        MATRIX,
        gradient_dtypes=BOTH,
    ),
    Row(
        "raw_ops.BatchMatMulV3",
        lambda tf, x, y: tf.raw_ops.BatchMatMulV3(x=x, y=y, Tout=tf.float32),
        [anything(2, 3, 4), anything(2, 4, 2)],
        ("float32",),
        gradient_dtypes=("float32",),
    ),
    Row(
        "linalg.matvec",
        lambda tf, a, x: [tf.linalg.matvec(a, x), tf.linalg.matvec(a, x, transpose_a=True)],
        [anything(2, 3, 3), anything(2, 3)],
        SINGLE,
    ),
    Row("linalg.cross", lambda tf, x, y: tf.linalg.cross(x, y), [anything(4, 3), anything(4, 3)], (*SINGLE, "int32")),
    Row(
        "tensordot",
        lambda tf, x, y: [
            tf.tensordot(x, y, 1),
            tf.tensordot(x, y, axes=[[1, 2], [1, 0]]),
            tf.tensordot(x, y, axes=[1, 1]),
        ],
        [anything(2, 3, 4), anything(4, 3)],
        (*SINGLE, "int32", "complex64"),
    ),
    Row("tensordot[outer]", lambda tf, x, y: tf.tensordot(x, y, axes=0), [anything(2, 3), anything(2)], SINGLE),
    Row("linalg.global_norm", lambda tf, x, y: tf.linalg.global_norm([x, y]), [nonzero(3, 2), nonzero(4)], SINGLE),
    Row("linalg.normalize", lambda tf, x: tf.linalg.normalize(x, axis=1), [nonzero(3, 4)], SINGLE),
]

EQUATIONS = {
    "ij,jk->ik": [(3, 4), (4, 2)],
    "bij,bjk->bik": [(2, 3, 4), (2, 4, 2)],
    "ij->ji": [(3, 4)],
    "ij->": [(3, 4)],
    "ij->j": [(3, 4)],
    "ii->i": [(3, 3)],
    "ii->": [(3, 3)],
    "i,j->ij": [(3,), (4,)],
    "i,i->": [(3,), (3,)],
    "ij,ij->ij": [(3, 4), (3, 4)],
    "...ij,...jk->...ik": [(2, 3, 4), (2, 4, 2)],
    "...i,i->...": [(2, 3, 4), (4,)],
    "bthd,bshd->bhts": [(2, 3, 2, 4), (2, 5, 2, 4)],
    "ij,jk": [(3, 4), (4, 2)],
    "ij,jk,kl->il": [(2, 3), (3, 4), (4, 2)],
    "abc,cd,def->abef": [(2, 2, 3), (3, 2), (2, 2, 2)],
    "ij,k->ijk": [(2, 3), (2,)],
    "iij->ij": [(3, 3, 2)],
    "iij,jk->ik": [(3, 3, 2), (2, 4)],
    "...ij->...ji": [(2, 3, 4)],
    "...i,...i->...": [(2, 1, 3), (4, 3)],
    "a...,...b->b...a": [(2, 3), (3, 4)],
    "ij,kl->": [(2, 3), (3, 2)],
}
EINSUM = [
    Row(
        f"einsum[{equation}]",
        lambda tf, *tensors, equation=equation: tf.einsum(equation, *tensors),
        [anything(*shape) for shape in shapes],
        (*SINGLE, "int32", *COMPLEX) if position == 0 else SINGLE,
        gradient_dtypes=BOTH,
        smoke=position == 1,
    )
    for position, (equation, shapes) in enumerate(EQUATIONS.items())
]
EINSUM[0:0] = [
    Row(
        "einsum",
        lambda tf, x, y: tf.einsum("ij,jk->ik", x, y),
        [anything(1, 1), anything(1, 3)],
        SINGLE,
        errors=[
            Bad(
                lambda tf, x, y: tf.einsum("ij,jk->ik", x, y),
                [[[1.0, 2.0]], [[1.0, 2.0]]],
                ("InvalidArgumentError", "Expected dimension 2 at axis 0"),
                ("ValueError", "Dimensions must be equal, but are 2 and 1"),
            ),
            Bad(
                lambda tf, x: tf.einsum("ijk->i", x),
                [[[1.0, 2.0]]],
                ("InvalidArgumentError", "Expected input 0 to have rank 3 but got: 2"),
                ("ValueError", "Shape must be rank 3 but is rank 2"),
            ),
        ],
    )
]


def hermitian(tf: Any, x: Any) -> Any:
    """The Hermitian part of a matrix, so that perturbing its entries keeps it Hermitian."""
    return (x + tf.linalg.adjoint(x)) / 2


def restored_from_svd(tf: Any, x: Any, full: bool = False) -> Any:
    """Singular values, and the matrix made of the factors (which have no sign of their own)."""
    s, u, v = tf.linalg.svd(x, full_matrices=full)
    count = s.shape[-1] if s.shape.rank else None
    left, right = u[..., :count], v[..., :count]
    return [s, tf.matmul(left * tf.cast(s, x.dtype)[..., None, :], right, adjoint_b=True)]


def restored_from_eigh(tf: Any, x: Any) -> Any:
    w, v = tf.linalg.eigh(hermitian(tf, x))
    return [w, tf.matmul(v * tf.cast(w**2, x.dtype)[..., None, :], v, adjoint_b=True)]


def restored_from_qr(tf: Any, x: Any) -> Any:
    q, r = tf.linalg.qr(x)
    return [tf.abs(r), tf.matmul(q, r), tf.matmul(q, q, adjoint_a=True)]


DECOMPOSITIONS = [
    Row(
        "linalg.cholesky",
        lambda tf, x: tf.linalg.cholesky(hermitian(tf, x)),
        [positive_definite(3)],
        MATRIX,
        {"batch": [positive_definite(2, 3)], "one": [(1, 1)]},
        gradient_dtypes=BOTH,
        gradient_tolerance=10,
        errors=[
            Bad(
                lambda tf, x: tf.linalg.cholesky(x),
                [[[1.0, 0.0]]],
                ("InvalidArgumentError", "Input matrix must be square"),
                ("ValueError", "Dimensions must be equal, but are 1 and 2"),
            ),
        ],
    ),
    Row(
        "linalg.qr",
        restored_from_qr,
        [well_conditioned(3)],
        MATRIX,
        {"batch": [(2, 3, 3)], "tall": [anything(4, 2)]},
        tolerance=4,
        gradient_tolerance=100,
    ),
    Row(
        "linalg.qr[wide]",
        lambda tf, x: [tf.matmul(*tf.linalg.qr(x)), tf.matmul(*tf.linalg.qr(x, full_matrices=True))],
        [anything(2, 4)],
        MATRIX,
        wrt=(),
        tolerance=4,
    ),
    Row(
        "linalg.qr[full]",
        lambda tf, x: tf.matmul(*tf.linalg.qr(x, full_matrices=True)),
        [anything(4, 2)],
        SINGLE,
        wrt=(),
        tolerance=4,
    ),
    Row(
        "linalg.svd",
        restored_from_svd,
        [well_conditioned(3)],
        MATRIX,
        {"batch": [(2, 3, 3)], "tall": [anything(4, 2)], "wide": [anything(2, 4)]},
        unknown_shapes=False,
        tolerance=20,
        gradient_tolerance=1e3,
    ),
    Row(
        "linalg.svd[values]",
        lambda tf, x: tf.linalg.svd(x, compute_uv=False),
        [anything(4, 3)],
        MATRIX,
        {"batch": [(2, 2, 3)]},
        tolerance=4,
        gradient_tolerance=1e3,
    ),
    Row(
        "linalg.svd[full]",
        lambda tf, x: restored_from_svd(tf, x, full=True),
        [anything(2, 4)],
        SINGLE,
        wrt=(),
        unknown_shapes=False,
        tolerance=20,
    ),
    Row(
        "linalg.eigh",
        restored_from_eigh,
        [positive_definite(3)],
        MATRIX,
        {"batch": [positive_definite(2, 3)]},
        tolerance=20,
        gradient_tolerance=1e3,
    ),
    Row(
        "linalg.eigvalsh",
        lambda tf, x: tf.linalg.eigvalsh(hermitian(tf, x)),
        [positive_definite(3)],
        MATRIX,
        tolerance=4,
        gradient_tolerance=1e3,
    ),
    Row("compat.v1.self_adjoint_eig", restored_from_eigh, [positive_definite(4)], SINGLE, tolerance=20, wrt=()),
    Row(
        "linalg.eigvals",
        lambda tf, x: tf.sort(tf.math.real(tf.linalg.eigvals(x))),
        [positive_definite(3)],
        MATRIX,
        wrt=(),
        tolerance=20,
    ),
    Row(
        "linalg.eig",
        lambda tf, x: tf.abs(tf.matmul(tf.cast(x, tf.linalg.eig(x)[0].dtype), tf.linalg.eig(x)[1])),
        [values([[2.0, 1.0], [0.5, 3.0]])],
        SINGLE,
        wrt=(),
        tolerance=20,
    ),
    Row(
        "linalg.lu",
        lambda tf, x: list(tf.linalg.lu(x)),
        [well_conditioned(4)],
        MATRIX,
        {"batch": [(2, 3, 3)]},
        tolerance=4,
        gradient_tolerance=100,
        wrt=(),
    ),
    Row(
        "linalg.lu_solve",
        lambda tf, x, b: [tf.linalg.lu_solve(*tf.linalg.lu(x), b), tf.linalg.lu_reconstruct(*tf.linalg.lu(x))],
        [well_conditioned(3), anything(3, 2)],
        SINGLE,
        wrt=(1,),
        tolerance=4,
    ),
]

SOLVERS = [
    Row(
        "linalg.inv",
        public("linalg.inv"),
        [well_conditioned(3)],
        MATRIX,
        {"batch": [(2, 3, 3)], "one": [(1, 1)]},
        gradient_dtypes=BOTH,
        tolerance=4,
        gradient_tolerance=10,
        errors=[
            Bad(
                lambda tf, x: tf.linalg.inv(x),
                [[[1.0, 1.0], [1.0, 1.0]]],
                ("InvalidArgumentError", "Input is not invertible."),
                ("InvalidArgumentError", "Input is not invertible."),
            )
        ],
    ),
    Row(
        "linalg.inv[adjoint]",
        lambda tf, x: tf.linalg.inv(x, adjoint=True),
        [well_conditioned(3)],
        MATRIX,
        tolerance=4,
        gradient_dtypes=BOTH,
        gradient_tolerance=10,
    ),
    Row("linalg.pinv", public("linalg.pinv"), [anything(4, 2)], SINGLE, {"batch": [(2, 3, 2)]}, wrt=(), tolerance=20),
    Row(
        "linalg.det",
        public("linalg.det"),
        [well_conditioned(3)],
        MATRIX,
        {"batch": [(2, 2, 2)]},
        gradient_dtypes=("float64",),  # TensorFlow's complex gradient lacks a conjugate
        tolerance=4,
        gradient_tolerance=10,
    ),
    Row(
        "linalg.slogdet",
        lambda tf, x: list(tf.linalg.slogdet(x)),
        [well_conditioned(3)],
        MATRIX,
        {"batch": [(2, 2, 2)]},
        tolerance=4,
        gradient_tolerance=10,
    ),
    Row(
        "linalg.logdet",
        lambda tf, x: tf.linalg.logdet(hermitian(tf, x)),
        [positive_definite(3)],
        SINGLE,
        tolerance=4,
        gradient_tolerance=10,
    ),
    Row(
        "linalg.solve",
        public("linalg.solve"),
        [well_conditioned(3), anything(3, 2)],
        MATRIX,
        {"batch": [(2, 3, 3), (2, 3, 1)]},
        gradient_dtypes=BOTH,
        tolerance=4,
        gradient_tolerance=10,
        errors=[
            Bad(
                lambda tf, a, b: tf.linalg.solve(a, b),
                [[[1.0, 1.0], [1.0, 1.0]], [[1.0], [1.0]]],
                ("InvalidArgumentError", "Input matrix is not invertible."),
                ("InvalidArgumentError", "Input matrix is not invertible."),
            )
        ],
    ),
    Row(
        "linalg.solve[adjoint]",
        lambda tf, a, b: tf.linalg.solve(a, b, adjoint=True),
        [well_conditioned(3), anything(3, 2)],
        MATRIX,
        gradient_dtypes=BOTH,
        tolerance=4,
        gradient_tolerance=10,
    ),
    *table(
        "linalg.triangular_solve",
        lambda tf, a, b, **keywords: tf.linalg.triangular_solve(a, b, **keywords),
        [well_conditioned(3), anything(3, 2)],
        {
            "lower": {},
            "upper": {"lower": False},
            "adjoint": {"adjoint": True},
            "both": {"lower": False, "adjoint": True},
        },
        dtypes=MATRIX,
        other_dtypes=SINGLE,
        variants={"batch": [(2, 3, 3), (2, 3, 1)], "broadcast": [(3, 3), (2, 3, 1)]},
        gradient_dtypes=BOTH,
        tolerance=4,
        gradient_tolerance=10,
    ),
    Row(
        "linalg.cholesky_solve",
        lambda tf, x, b: tf.linalg.cholesky_solve(tf.linalg.cholesky(hermitian(tf, x)), b),
        [positive_definite(3), anything(3, 2)],
        SINGLE,
        tolerance=4,
        gradient_tolerance=10,
    ),
    Row(
        "linalg.lstsq",
        lambda tf, a, b: tf.linalg.lstsq(a, b, l2_regularizer=0.1),
        [anything(4, 2), anything(4, 1)],
        SINGLE,
        {"wide": [(2, 4), (2, 1)]},
        tolerance=8,
        gradient_tolerance=100,
        unknown_shapes=False,
    ),
    Row(
        "linalg.lstsq[slow]",
        lambda tf, a, b: tf.linalg.lstsq(a, b, l2_regularizer=0.1, fast=False),
        [anything(4, 2), anything(4, 1)],
        SINGLE,
        tolerance=8,
        wrt=(),
    ),
    Row(
        "linalg.tridiagonal_solve",
        lambda tf, d, b: tf.linalg.tridiagonal_solve(d, b, diagonals_format="compact"),
        [values([[1.0, 0.5, 0.0], [3.0, 4.0, 3.5], [0.0, 0.7, 0.3]]), anything(3, 2)],
        MATRIX,
        tolerance=4,
        gradient_tolerance=10,
    ),
    Row(
        "linalg.tridiagonal_matmul",
        lambda tf, d, b: tf.linalg.tridiagonal_matmul(d, b, diagonals_format="compact"),
        [anything(3, 4), anything(4, 2)],
        MATRIX,
    ),
    Row(
        "linalg.banded_triangular_solve",
        lambda tf, d, b: tf.linalg.banded_triangular_solve(d, b),
        [values([[3.0, 4.0, 3.5], [0.0, 0.7, 0.3]]), anything(3, 2)],
        SINGLE,
        tolerance=4,
    ),
]

FUNCTIONS = [
    Row(
        "linalg.expm",
        public("linalg.expm"),
        [symmetric(3, 3)],
        SINGLE,
        {"batch": [(2, 2, 2)]},
        tolerance=8,
        gradient_tolerance=100,
    ),
    Row("linalg.sqrtm", public("linalg.sqrtm"), [positive_definite(3)], SINGLE, tolerance=20, gradient_tolerance=1e3),
    Row(
        "linalg.logm", public("linalg.logm"), [positive_definite(2)], ("complex64", "complex128"), wrt=(), tolerance=20
    ),
    Row(
        "linalg.matrix_rank", lambda tf, x: tf.linalg.matrix_rank(x), [values([[1.0, 2.0], [2.0, 4.0]])], SINGLE, wrt=()
    ),
    Row(
        "linalg.LinearOperator",
        lambda tf, x, b: [
            tf.linalg.LinearOperatorFullMatrix(x).matmul(b),
            tf.linalg.LinearOperatorDiag(x[0]).matmul(b),
            tf.linalg.LinearOperatorLowerTriangular(x).solve(b),
        ],
        [well_conditioned(3), anything(3, 2)],
        SINGLE,
        unknown_shapes=False,
        tolerance=4,
    ),
    Row(
        "raw_ops.SelfAdjointEigV2",
        lambda tf, x: tf.raw_ops.SelfAdjointEigV2(input=x, compute_v=False)[0],
        [positive_definite(3)],
        SINGLE,
        tolerance=4,
        wrt=(),
    ),
    Row(
        "raw_ops.CholeskyGrad",
        lambda tf, x, g: tf.raw_ops.CholeskyGrad(l=tf.linalg.cholesky(x), grad=g),
        [positive_definite(3), anything(3, 3)],
        SINGLE,
        wrt=(),
        tolerance=8,
    ),
    Row(
        "raw_ops.SparseMatMul",
        lambda tf, x, y: tf.raw_ops.SparseMatMul(a=x, b=y),
        [small(3, 4), small(4, 2)],
        ("float32",),
        gradient_dtypes=("float32",),
    ),
    Row(
        "norm[matrices]",
        lambda tf, x: [tf.norm(x, ord=2, axis=[0, 1]), tf.norm(x, ord=float("inf"), axis=(-2, -1), keepdims=True)],
        [distinct(4, 3)],
        SINGLE,
        tolerance=4,
        gradient_tolerance=100,
    ),
    Row(
        "raw_ops.MatrixSolveLs",
        lambda tf, a, b: tf.raw_ops.MatrixSolveLs(matrix=a, rhs=b, l2_regularizer=0.3),
        [anything(4, 2), anything(4, 1)],
        SINGLE,
        {"wide": [(2, 4), (2, 1)]},
        tolerance=8,
        gradient_tolerance=100,
        unknown_shapes=False,
    ),
    Row(
        "distance",
        lambda tf, x, y: tf.sqrt(tf.reduce_sum(tf.math.squared_difference(x[:, None], y[None]), -1)),
        [anything(3, 2), between(3, 4, 4, 2)],
        SINGLE,
    ),
    Row(
        "gram",
        lambda tf, x: tf.linalg.matmul(x, x, transpose_a=True) + tf.linalg.diag(positive_part(tf, x)),
        [positive(3, 3)],
        SINGLE,
    ),
]


def positive_part(tf: Any, x: Any) -> Any:
    return tf.nn.relu(x[0])


FOURIER = [
    *(
        Row(
            f"signal.{name}",
            public(f"signal.{name}"),
            [anything(*shape)],
            COMPLEX,
            wrt=(0,),
            gradient_dtypes=("complex128",),
            tolerance=10,
        )
        for name, shape in (
            ("fft", (2, 6)),
            ("ifft", (2, 6)),
            ("fft2d", (2, 3, 4)),
            ("ifft2d", (2, 3, 4)),
            ("fft3d", (2, 3, 2)),
            ("ifft3d", (2, 3, 2)),
        )
    ),
    Row(
        "signal.rfft",
        lambda tf, x: [tf.abs(tf.signal.rfft(x)), tf.math.angle(tf.signal.rfft(x))],
        [anything(2, 6)],
        SINGLE,
        tolerance=10,
        gradient_tolerance=10,
    ),
    Row(
        "signal.rfft[length]",
        lambda tf, x: [tf.signal.rfft(x, [4]), tf.signal.rfft(x, [8])],
        [anything(2, 6)],
        SINGLE,
        wrt=(),
        tolerance=10,
    ),
    Row(
        "signal.irfft",
        lambda tf, x, y: tf.signal.irfft(tf.complex(x, y)),
        [anything(2, 4), anything(2, 4)],
        SINGLE,
        tolerance=10,
        unknown_shapes=False,
    ),
    Row(
        "signal.irfft[length]",
        lambda tf, x, y: tf.signal.irfft(tf.complex(x, y), [5]),
        [anything(2, 4), anything(2, 4)],
        SINGLE,
        tolerance=10,
        wrt=(),
    ),
    Row("signal.rfft3d", lambda tf, x: tf.abs(tf.signal.rfft3d(x)), [anything(2, 3, 4)], SINGLE, wrt=(), tolerance=10),
    Row(
        "signal.irfft3d",
        lambda tf, x: tf.signal.irfft3d(tf.complex(x, x * x), [2, 3, 4]),
        [anything(2, 3, 3)],
        SINGLE,
        wrt=(),
        tolerance=10,
    ),
    Row(
        "signal.fftshift",
        lambda tf, x: [tf.signal.fftshift(x), tf.signal.ifftshift(x), tf.signal.fftshift(x, axes=1)],
        [anything(3, 4)],
        SINGLE,
        unknown_shapes=False,
    ),
    Row("signal.rfft2d", lambda tf, x: tf.math.real(tf.signal.rfft2d(x)), [anything(3, 4)], SINGLE, tolerance=10),
    Row(
        "signal.irfft2d",
        lambda tf, x: tf.signal.irfft2d(tf.complex(x, x * x)),
        [anything(3, 3)],
        SINGLE,
        tolerance=10,
        unknown_shapes=False,
    ),
]

ROWS = [*PRODUCTS, *EINSUM, *DECOMPOSITIONS, *SOLVERS, *FUNCTIONS, *FOURIER]
