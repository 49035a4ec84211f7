"""Functions of one float, each with a construct of Python: what they give for Python's floats is what they must give for
tensors."""

from __future__ import annotations

import functools

import rillet as tf


def if_else(x):
    if x > 0:
        y = x * 2
    else:
        y = -x
    return y


def if_elif(x):
    if x > 2:
        y = x * 2
    elif x > 0:
        y = x * 3
    elif x > -1:
        y = x * 5
    else:
        y = x * 7
    return y


def if_without_else(x):
    y = x + 1.0
    if x > 0:
        y = y * x
    return y


def branch_local(x):
    if x > 0:
        part = x * 2
        y = part * part
    else:
        y = x
    return y


def nested_ifs(x):
    y = x * 1.0
    if x > 0:
        if x > 2:
            y = y * 2
        else:
            y = y * 3
        y = y + 1
    return y


def early_return(x):
    if x > 0:
        return x * 2
    y = x - 1
    return y * y


def returns_in_both(x):
    if x > 1:
        return x * 2
    else:
        return x * 3


def partial_return(x):
    if x > 0:
        if x > 2:
            return x * 10
        x = x + 1
    return x * 2


def while_loop(x):
    y = x * 1.0
    while y * y < 100.0:
        y = y * 1.5 + 0.1
    return y


def while_break(x):
    y = x * 1.0
    n = x * 0.0
    while n < 10.0:
        n = n + 1
        y = y * 1.1
        if y > 3.0:
            break
    return y + n


def while_true(x):
    y = x * 1.0
    while True:
        y = y + 1.0
        if y > 5.0:
            break
    return y


def while_continue(x):
    y = x * 1.0
    n = x * 0.0
    while n < 6.0:
        n = n + 1
        if n == 3.0:
            continue
        y = y + n * x
    return y


def while_return(x):
    y = x * 1.0
    n = x * 0.0
    while n < 6.0:
        n = n + 1
        y = y + x
        if y > 4.0:
            return y * n
    return y - n


def while_else(x):
    y = x * 1.0
    n = x * 0.0
    while n < 3.0:
        n = n + 1
        if x > 2:
            break
    else:
        y = y + 10.0
    return y


def nested_loops(x):
    total = x * 0.0
    i = x * 0.0
    while i < 3.0:
        i = i + 1
        j = x * 0.0
        while j < 4.0:
            j = j + 1
            if j > i:
                break
            total = total + x * j
    return total


def first_set_in_loop(x):
    n = x * 0.0
    while n < 3.0:
        n = n + 1
        last = n * x
    return last


def python_range(x):
    y = x * 1.0
    for i in range(4):
        y = y + i * x
    return y


def python_range_break(x):
    y = x * 1.0
    for i in range(4):
        if y > 3.0:
            break
        y = y + i + 1.0
    return y


def python_range_return(x):
    for i in range(4):
        if x > i:
            return x * i
    return x


def for_else(x):
    y = x * 1.0
    for i in range(3):
        if x > i + 1:
            break
    else:
        y = y - 1.0
    return y


def over_tuple(x):
    y = x * 1.0
    for factor in (2.0, 3.0):
        if y < 5.0:
            y = y * factor
    return y


def logical(x):
    y = x * 1.0
    if x > 0 and x < 2:
        y = y + 1.0
    if x < -1 or x > 2:
        y = y + 10.0
    if not x > 0:
        y = y + 100.0
    if not (x > 0 and x < 2) or x > 1:
        y = y * 2
    return y


def chained(x):
    y = x * 1.0
    if -1 < x <= 2 < 3:
        y = y + 1.0
    if 0 < x < 1 < x + 5:
        y = y * 2
    return y


def conditional_expression(x):
    return (x * 2 if x > 0 else x * 3) + (1.0 if x > 1 else 2.0)


def asserted(x):
    assert x < 100.0, "too large"
    return x * 2


def inner_function(x):
    def double(value):
        if value > 0:
            return value * 2
        return value * 4

    return double(x) + double(-x)


def inner_nonlocal(x):
    total = x * 0.0

    def add(value):
        nonlocal total
        if value > 0:
            total = total + value
        else:
            total = total - value * 2

    add(x)
    add(-x)
    return total


def inner_lambda(x):
    choose = lambda value: value * 2 if value > 0 else value * 3  # noqa: E731
    return choose(x) + choose(-x)


def helper(value, scale=2):
    if value > 0:
        return value * scale
    return value


def calls_helper(x):
    return helper(x) + helper(-x, scale=3)


def recursive(x):
    return descend(x, 4)


def descend(x, depth):
    if depth == 0:
        return x
    if x > 0:
        x = x * 2
    return descend(x, depth - 1)


def partial_call(x):
    return functools.partial(helper, scale=5)(x)


def mapped(x):
    return sum(map(helper, [x, -x]))


def decorated(function):
    @functools.wraps(function)
    def wrapper(value):
        if value > 1:
            value = value + 1.0
        return function(value)

    return wrapper


@decorated
def with_decorator(x):
    if x > 0:
        return x
    return -x


class Base:
    def __init__(self):
        self.__scale = 3.0

    def scaled(self, x):
        if x > 0:
            return x * self.__scale
        return x


class Derived(Base):
    def scaled(self, x):
        if x > 1:
            return super().scaled(x) + 1.0
        return super().scaled(x)

    def __call__(self, x):
        if x > 2:
            return x * 5
        return x


def methods(x):
    instance = Derived()
    return instance.scaled(x) + instance(x)


def attribute_state(x):
    instance = Base()
    instance.total = x * 1.0
    if x > 0:
        instance.total = instance.total * 3
    return instance.total


def item_state(x):
    state = {"a": x * 1.0}
    if x > 0:
        state["a"] = state["a"] * 3
    return state["a"]


def tuples(x):
    pair = (x * 1.0, x * 2.0)
    n = x * 0.0
    while n < 3.0:
        n = n + 1
        a, b = pair
        pair = (b, a + b)
    return pair[0] + pair[1]


def with_and_try(x):
    y = x * 1.0
    try:
        if x > 0:
            y = y * 2
        else:
            y = y * 3
    finally:
        y = y + 1
    with tf.name_scope("part"):
        if x > 1:
            return y * 2
    return y


def walrus(x):
    if (y := x * 2) > 1:
        y = y + 1
    return y


def unpacking(x):
    (a, *rest), b = (x * 1.0, x * 2.0, x * 3.0), x * 4.0
    if x > 0:
        a, b = b, a
    return a * 2 + b + rest[0]


def matched(x):
    kind = "square"
    match kind:
        case "square" if x is not None:
            if x > 0:
                return x * x
            return x
        case _:
            return x * 0


def try_return(x):
    try:
        if x > 0:
            return x * 2
    except ValueError:
        return x * 0
    else:
        x = x + 1
    return x


def comprehension(x):
    return sum([value * 2 if value > 0 else value for value in (x, -x)])


CONSTRUCTS = [
    value
    for name, value in list(globals().items())
    if callable(value)
    and getattr(value, "__module__", None) == __name__
    and not isinstance(value, type)
    and name not in ("helper", "descend", "decorated")
]
