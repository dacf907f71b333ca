"""House price from floor area: gradient descent reaches the least-squares line."""

import numpy as np

import fusednn as fnn

rng = np.random.default_rng(0)
area = rng.uniform(40, 250, 200)  # square metres
price = 50_000 + 3_200 * area + rng.normal(0, 20_000, 200)

# Descent needs columns of one size: standardize, and take the line back to the units afterwards.
x = ((area - area.mean()) / area.std())[:, None]
y = ((price - price.mean()) / price.std())[:, None]

theta_1, theta_0 = np.zeros((1, 1)), np.zeros(1)
for epoch in range(1, 201):
    prediction = fnn.linear(x, theta_1, theta_0)
    loss, dprediction = fnn.value_and_grad("mse_loss", prediction, y)
    _, dtheta_1, dtheta_0 = fnn.linear_backward(dprediction, x, theta_1)
    # d loss / d theta_0 = -(2 / n) sum(y - prediction)
    fnn.sgd_update([theta_1, theta_0], [dtheta_1, dtheta_0], lr=0.1)
    if epoch % 20 == 0:
        print(f"Epoch {epoch}: Loss = {loss:.6f}")

slope = theta_1[0, 0] * price.std() / area.std()
intercept = price.mean() + theta_0[0] * price.std() - slope * area.mean()
exact_slope, exact_intercept = np.polyfit(area, price, 1)
print(f"price = {intercept:.4f} + {slope:.6f} * area")
print(f"least squares: {exact_intercept:.4f} + {exact_slope:.6f} * area")
