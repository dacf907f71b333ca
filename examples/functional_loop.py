"""The training loop written out: initialize, forward, loss, backward, update."""

import numpy as np

import fusednn as fnn
from fusednn.nn import datasets

(x_train, y_train), (x_test, y_test) = datasets.digits.load_data()
x_train = x_train.reshape(len(x_train), -1).astype("float32") / 16
x_test = x_test.reshape(len(x_test), -1).astype("float32") / 16

# initialize the weights
rng = np.random.default_rng(0)
w1 = rng.standard_normal((64, 128), dtype="float32") * np.float32(np.sqrt(2 / 64))
w2 = rng.standard_normal((128, 10), dtype="float32") * np.float32(np.sqrt(1 / 128))
b1, b2 = np.zeros(128, "float32"), np.zeros(10, "float32")
params = [w1, b1, w2, b2]
m, v = [np.zeros_like(p) for p in params], [np.zeros_like(p) for p in params]

step = 0
for epoch in range(1, 11):
    losses = []
    order = rng.permutation(len(x_train))
    for start in range(0, len(order), 64):
        rows = order[start : start + 64]
        x, y = x_train[rows], y_train[rows]
        # forward pass
        h = fnn.linear(x, w1, b1, activation="relu")
        logits = fnn.linear(h, w2, b2)
        # loss
        loss, dlogits = fnn.value_and_grad("cross_entropy", logits, y)
        losses.append(loss)
        # backward pass
        dh, dw2, db2 = fnn.linear_backward(dlogits, h, w2)
        _, dw1, db1 = fnn.linear_backward(dh, x, w1, activation="relu", y=h)
        # update
        step += 1
        fnn.adam_update(params, [dw1, db1, dw2, db2], m, v, step=step, lr=0.003)
    print(f"Epoch {epoch}: Loss = {np.mean(losses):.4f}")

logits = fnn.linear(fnn.linear(x_test, w1, b1, activation="relu"), w2, b2)
print(f"Test accuracy: {fnn.accuracy(logits, y_test):.4f}")
