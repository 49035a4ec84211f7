"""tf.train.Checkpoint: objects are saved, and restored by their place, also those that are made later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rillet as tf
from rillet.saving import messages
from tests.saving.data import FOLDER, expected


class Holder(tf.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = tf.Variable([0.0, 0.0], name="w")
        self.parts = [tf.Variable(0.0), {"a": tf.Variable(0)}]
        self.pair = (tf.Variable(0.0),)


def step(holder: Any, optimizer: Any) -> None:
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(holder.w**2)
    optimizer.apply_gradients([(tape.gradient(loss, holder.w), holder.w)])


def made() -> tuple[Any, Any, Any]:
    holder, optimizer = Holder(), tf.train.AdamOptimizer(0.1)
    return holder, optimizer, tf.train.Checkpoint(holder=holder, optimizer=optimizer, **{"odd.name": tf.Variable(0)})


def test_objects_of_tensorflow(tmp_path: Path) -> None:
    holder, optimizer, checkpoint = made()
    recorded = str(FOLDER / "objects" / "saved-1")
    status = checkpoint.restore(recorded)
    status.assert_existing_objects_matched()
    with pytest.raises(AssertionError, match=r"\(root\)\.optimizer\.beta1_power"):
        status.assert_consumed()
    wanted = expected()
    assert holder.w.numpy().tolist() == wanted["objects/w"].tolist()
    assert (holder.parts[0].numpy(), holder.parts[1]["a"].numpy(), holder.pair[0].numpy()) == (1, 2, 5)
    before = holder.w.numpy()
    step(holder, optimizer)  # makes the slots, which get their values
    status.assert_consumed()
    assert not np.allclose(optimizer.get_slot(holder.w, "m").numpy(), 0.1 * 2 * before)
    assert checkpoint.save_counter.numpy() == 1
    saved = checkpoint.save(str(tmp_path / "ours"))
    assert tf.train.list_variables(saved) == tf.train.list_variables(recorded)
    key = "_CHECKPOINTABLE_OBJECT_GRAPH"
    kind = messages.get("TrackableObjectGraph")
    assert kind.FromString(tf.train.load_variable(saved, key)) == kind.FromString(tf.train.load_variable(recorded, key))


def test_f10_checkpoint_navigates_to_the_values(tmp_path: Path) -> None:
    v = tf.Variable([1.0, 2.0])
    path = tf.train.Checkpoint(v=v).write(str(tmp_path / "written"))
    assert path == str(tmp_path / "written")
    v.assign([0.0, 0.0])
    tf.train.Checkpoint(v=v).read(path).assert_consumed()
    assert v.numpy().tolist() == [1, 2]
    checkpoint = tf.train.Checkpoint(v=v)
    assert checkpoint.save(str(tmp_path / "saved")) == str(tmp_path / "saved-1")
    assert checkpoint.save(str(tmp_path / "saved")) == str(tmp_path / "saved-2")
    assert tf.train.latest_checkpoint(str(tmp_path)) == str(tmp_path / "saved-2")
    other = tf.Variable([0.0, 0.0], name="another_name")
    tf.train.Checkpoint(v=other).restore(str(tmp_path / "saved-2")).assert_consumed()
    assert other.numpy().tolist() == [1, 2]
    with pytest.raises(AssertionError, match="Unresolved object in checkpoint"):
        tf.train.Checkpoint(w=other).restore(str(tmp_path / "saved-2")).assert_consumed()
    with pytest.raises(AssertionError, match="not bound to checkpointed values"):
        tf.train.Checkpoint(w=other).restore(str(tmp_path / "saved-2")).assert_existing_objects_matched()


def test_variables_that_are_made_later(tmp_path: Path) -> None:
    holder, optimizer, checkpoint = made()
    holder.w.assign([3.0, 4.0])
    step(holder, optimizer)
    path = checkpoint.save(str(tmp_path / "c"))
    later = tf.Module()
    status = tf.train.Checkpoint(holder=later).restore(path)
    later.w = tf.Variable([0.0, 0.0])
    assert later.w.numpy().tolist() == holder.w.numpy().tolist()
    root = tf.train.Checkpoint()
    root.restore(path)
    root.holder = tf.Module()
    root.holder.pair = (tf.Variable(7.0),)
    assert root.holder.pair[0].numpy() == 0
    with pytest.raises(AssertionError):
        status.assert_consumed()
    status.expect_partial().assert_nontrivial_match()


def test_what_cannot_be(tmp_path: Path) -> None:
    path = tf.train.Checkpoint(v=tf.Variable(1.0)).write(str(tmp_path / "c"))
    with pytest.raises(ValueError, match=r"incompatible tensor with shape \(\) .*shape \(2,\)"):
        tf.train.Checkpoint(v=tf.Variable([1.0, 2.0])).restore(path)
    with pytest.raises(tf.errors.NotFoundError, match="Error when restoring"):
        tf.train.Checkpoint(v=tf.Variable(1.0)).restore(str(tmp_path / "none"))
    with pytest.raises(ValueError, match="expecting v to be a trackable object"):
        tf.train.Checkpoint(v=3)
    status = tf.train.Checkpoint(v=tf.Variable(1.0)).restore(None)
    with pytest.raises(AssertionError, match="nothing is being restored"):
        status.assert_consumed()


def test_by_name() -> None:
    w, half = tf.Variable(tf.zeros([2, 3]), name="w"), tf.Variable(np.zeros(3, np.float16), name="half")
    status = tf.train.Checkpoint(a=w, b=half).restore(str(FOLDER / "resources" / "model-7"))
    assert w.numpy().tolist() == [[0, 1, 2], [3, 4, 5]] and half.numpy().tolist() == [0, 1, 2]
    status.assert_existing_objects_matched()
    with pytest.raises(AssertionError, match="words"):
        status.assert_consumed()


def test_in_a_graph(tmp_path: Path) -> None:
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        v = v1.get_variable("v", initializer=[1.0, 2.0], use_resource=True)
        session.run(v.initializer)
        checkpoint = tf.train.Checkpoint(v=v)
        path = checkpoint.save(str(tmp_path / "c"), session=session)
        session.run(v.assign([0.0, 0.0]))
        checkpoint.restore(path).assert_consumed().run_restore_ops(session)
        assert session.run(v).tolist() == [1, 2]
    eager = tf.Variable([0.0, 0.0])
    tf.train.Checkpoint(v=eager).restore(path)
    assert path.endswith("c-1") and eager.numpy().tolist() == [1, 2]


def test_manager(tmp_path: Path) -> None:
    v = tf.Variable(0)
    checkpoint = tf.train.Checkpoint(v=v)
    manager = tf.train.CheckpointManager(checkpoint, str(tmp_path), max_to_keep=2)
    assert manager.restore_or_initialize() is None and manager.latest_checkpoint is None
    for _ in range(4):
        v.assign_add(1)
        manager.save()
    assert manager.checkpoints == [str(tmp_path / "ckpt-3"), str(tmp_path / "ckpt-4")]
    assert {path.name.partition(".")[0] for path in tmp_path.iterdir()} == {"checkpoint", "ckpt-3", "ckpt-4"}
    v.assign(0)
    again = tf.train.CheckpointManager(checkpoint, str(tmp_path), max_to_keep=2)
    assert again.checkpoints == manager.checkpoints
    assert again.restore_or_initialize() == str(tmp_path / "ckpt-4") and v.numpy() == 4
    assert again.save(checkpoint_number=9) == str(tmp_path / "ckpt-9")
    with pytest.raises(ValueError, match="max_to_keep"):
        tf.train.CheckpointManager(checkpoint, str(tmp_path), max_to_keep=0)


def test_manager_waits_for_its_interval(tmp_path: Path) -> None:
    steps = tf.Variable(0)
    manager = tf.train.CheckpointManager(
        tf.train.Checkpoint(steps=steps), str(tmp_path), None, step_counter=steps, checkpoint_interval=5
    )
    written = []
    for _ in range(12):
        written.append(manager.save() is not None)
        steps.assign_add(1)
    assert [index for index, done in enumerate(written) if done] == [0, 5, 10]
