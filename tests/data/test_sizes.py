from cyclegan.data.sizes import target_size


def test_target_sizes() -> None:
    assert target_size(300, 200, 286, "stretch") == (286, 286)
    assert target_size(300, 200, 286, "width") == (286, 191)  # 190.67
    assert target_size(300, 200, 286, "short_side") == (429, 286)
    assert target_size(1000, 1, 10, "width") == (10, 1)  # not 0
    assert target_size(300, 200, None, "width") == (300, 200)
    assert target_size(200, 300, 286, "short_side") == (286, 429)
