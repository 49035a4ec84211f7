"""Logarithms, sines and cosines of float32 as the GNU C library computes them, the same on every machine.

They are computed in float64 and rounded once, with the coefficients of Arm's optimized routines (MIT licence), which
the GNU C library uses. For every argument that random numbers bring here the result is the same, bit for bit; NumPy's
own float32 functions differ in one of five.
"""

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Singles: TypeAlias = npt.NDArray[np.float32]
Doubles: TypeAlias = npt.NDArray[np.float64]

LOG_START = 0x3F330000  # the bits of 0.69921875: mantissas lie from there to twice that, in sixteen intervals
LOG_RECIPROCALS = np.array(
    [
        1.398907162146528,
        1.3403141896637998,
        1.286432210124115,
        1.2367150214269895,
        1.1906977166711752,
        1.1479821020556429,
        1.1082251448272158,
        1.0711297413057381,
        1.036437278977283,
        1.0,
        0.9492859795739057,
        0.8951049428609004,
        0.8476821620351103,
        0.8050314851692001,
        0.7664671008843108,
        0.731428603316328,
    ]
)
LOG_CENTRES = np.array([-math.log(reciprocal) for reciprocal in LOG_RECIPROCALS])
LOG_POLYNOMIAL = (-0.4999997485802103, 0.333456765744066, -0.25089342214237154)
SINE_POLYNOMIAL = (-0.16666654943701084, 0.008332178146138854, -0.00019517298981385725)
COSINE_POLYNOMIAL = (-0.49999999725108224, 0.041666623324344516, -0.001388676379437604, 2.4390450703564542e-05)


def log(x: Singles) -> Singles:
    """The logarithm of positive normal numbers."""
    bits = x.view(np.uint32)
    distance = bits - np.uint32(LOG_START)
    interval = (distance >> np.uint32(19)) & np.uint32(15)
    exponent = distance.view(np.int32) >> np.int32(23)
    mantissa = (bits - (distance & np.uint32(0xFF800000))).view(np.float32).astype(np.float64)
    r = mantissa * LOG_RECIPROCALS[interval] - 1.0
    whole = LOG_CENTRES[interval] + exponent * math.log(2.0)
    square = r * r
    c2, c3, c4 = LOG_POLYNOMIAL
    logarithm: Doubles = (c4 * square + (c3 * r + c2)) * square + (whole + r)
    return logarithm.astype(np.float32)


def sine_and_cosine(x: Singles) -> tuple[Singles, Singles]:
    """Of angles from 0 to 2 pi."""
    angle = x.astype(np.float64)
    quadrant = (angle * (2.0 / math.pi) + 0.5).astype(np.int32)
    angle -= quadrant * (math.pi / 2.0)
    square = angle * angle
    cube, fourth = angle * square, square * square
    c3, c5, c7 = SINE_POLYNOMIAL
    sine = (angle + cube * c3) + cube * square * (c5 + square * c7)
    c2, c4, c6, c8 = COSINE_POLYNOMIAL
    cosine = ((1.0 + square * c2) + fourth * c4) + fourth * square * (c6 + square * c8)
    swapped = (quadrant & 1) != 0
    sine, cosine = np.where(swapped, cosine, sine), np.where(swapped, sine, cosine)
    np.negative(sine, out=sine, where=(quadrant & 2) != 0)
    np.negative(cosine, out=cosine, where=((quadrant + 1) & 2) != 0)
    return sine.astype(np.float32), cosine.astype(np.float32)
