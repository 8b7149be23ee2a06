import torch

from vidlang.nn.precision import arithmetic, full_precision

CPU = torch.device("cpu")


def test_products_are_bfloat16_only_where_asked_for():
    x = torch.ones(2, 2)
    with arithmetic(CPU, "float32"):
        assert (x @ x).dtype == torch.float32
    with arithmetic(CPU, "bfloat16"):
        assert (x @ x).dtype == torch.bfloat16
        with full_precision(x):
            assert (x @ x).dtype == torch.float32
    with full_precision(x):
        assert (x @ x).dtype == torch.float32
