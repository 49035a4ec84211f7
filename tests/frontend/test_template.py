"""tf.make_template in graphs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import rillet as tf
import rillet.compat.v1 as tf1


@pytest.fixture(autouse=True)
def graph() -> Iterator[tf.Graph]:
    with tf.Graph().as_default() as fresh:
        yield fresh


def shifted(x: float, name: str = "w") -> Any:
    return tf.constant(x) + tf1.get_variable(name, [1], initializer=tf1.zeros_initializer())


def test_calls_share_variables() -> None:
    template = tf1.make_template("tpl", shifted)
    assert template.variables == [] and template.variable_scope is None
    assert template(1.0).name == "tpl/add:0"
    assert template(2.0).name == "tpl_1/add:0"
    (variable,) = template.variables
    assert variable.name == "tpl/w:0"
    assert template.trainable_variables == template.global_variables == [variable]
    assert template.local_variables == template.non_trainable_variables == []
    assert (template.name, template.variable_scope.name, template.variable_scope_name) == ("tpl", "tpl", "tpl/")
    with pytest.raises(ValueError, match="Variable tpl/other does not exist"):
        template(1.0, name="other")


def test_each_template_has_its_own_scope() -> None:
    names = [tf1.make_template("tpl", shifted)(1.0).name for _ in range(2)]
    assert names == ["tpl/add:0", "tpl_1/add:0"]
    assert [variable.name for variable in tf1.global_variables()] == ["tpl/w:0", "tpl_1/w:0"]


def test_a_scope_made_at_once() -> None:
    template = tf1.make_template("tpl", shifted, create_scope_now_=True)
    with tf1.variable_scope("elsewhere"):
        assert template(1.0).name == "elsewhere/tpl/add:0"
    assert template.variables[0].name == "tpl/w:0"


def test_a_name_of_one_s_own_and_bound_arguments() -> None:
    template = tf1.make_template("tpl", shifted, unique_name_="own", name="k")
    assert template(1.0).name == "own/add:0" and template.variables[0].name == "own/k:0"


def test_a_custom_getter() -> None:
    seen = []

    def getter(getter: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        seen.append(name)
        return getter(name, *args, **kwargs)

    tf1.make_template("tpl", shifted, custom_getter_=getter)(1.0)
    assert seen == ["tpl/w"]
