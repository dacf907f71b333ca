"""ONNX Runtime, on the same network as an ONNX graph."""

from bench.machine import THREADS

PACKAGE = "onnxruntime"


def unavailable():
    from importlib.util import find_spec

    return "" if find_spec("onnx") else "making the graph needs onnx: pip install onnx"


def predict(x, *weights):
    import onnx
    import onnxruntime as ort
    from onnx import TensorProto, helper, numpy_helper

    nodes, name = [], "x"
    for i in range(0, len(weights), 2):
        nodes.append(helper.make_node("Gemm", [name, f"p{i}", f"p{i + 1}"], [f"z{i}"]))
        name = f"z{i}"
        if i < len(weights) - 2:
            nodes.append(helper.make_node("Relu", [name], [f"h{i}"]))
            name = f"h{i}"
    tensors = [numpy_helper.from_array(p, f"p{i}") for i, p in enumerate(weights)]
    ends = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, [None, width])
        for n, width in (("x", x.shape[1]), (name, weights[-1].size))
    ]
    graph = helper.make_graph(nodes, "mlp", ends[:1], ends[1:], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    options = ort.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = ort.InferenceSession(model.SerializeToString(), options)
    return lambda: session.run(None, {"x": x})[0]
