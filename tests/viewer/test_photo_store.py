"""Photos in memory: which make room, and who is told of them."""

import pytest

from deconvnet.viewer.photo_store import PhotoGoneError, PhotoStore


def test_those_that_were_not_used_for_the_longest_time_make_room():
    store = PhotoStore[str](most=3)
    keys = [store.add(name, 1, "me") for name in "abc"]
    assert store[keys[0]] == "a"
    keys.append(store.add("d", 1, "me"))
    assert [store[keys[i]] for i in (0, 2, 3)] == ["a", "c", "d"] and len(store) == 3
    with pytest.raises(PhotoGoneError, match="drop it on the page again"):
        store[keys[1]]


def test_all_together_take_no_more_bytes_than_allowed_but_the_newest_is_always_there():
    store = PhotoStore[str](most_bytes=10)
    keys = [store.add(name, 4, "me") for name in "abc"]
    assert list(store.of("me").values()) == ["b", "c"]
    last = store.add("large", 100, "me")
    assert list(store.of("me")) == [last]
    assert len({*keys, last}) == 4


def test_a_visitor_is_told_the_own_photos_in_the_order_in_which_they_came():
    store = PhotoStore[str]()
    keys = [store.add(name, 1, visitor) for name, visitor in (("a", "me"), ("x", "other"), ("b", "me"), ("y", ""))]
    assert store[keys[0]] == "a"
    assert list(store.of("me").items()) == [(keys[0], "a"), (keys[2], "b")]
    assert store.of("") == {} == store.of("nobody")
