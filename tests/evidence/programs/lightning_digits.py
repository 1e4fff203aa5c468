"""A LightningModule on scikit-learn's digits, trained by Lightning's Trainer with a scheduler and clipped gradients."""

import lightning as L
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset


class Digits(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 10))

    def training_step(self, batch, index):
        images, labels = batch
        loss = F.cross_entropy(self.net(images), labels)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, index):
        images, labels = batch
        self.log("val_loss", F.cross_entropy(self.net(images), labels))

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=0.02)
        steps = self.trainer.estimated_stepping_batches
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.02, total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


L.seed_everything(0)
digits = load_digits()
images, labels = torch.tensor(digits.data, dtype=torch.float32) / 16, torch.tensor(digits.target)
train = DataLoader(TensorDataset(images[:1200], labels[:1200]), batch_size=64, shuffle=True)
held_out = DataLoader(TensorDataset(images[1200:], labels[1200:]), batch_size=200)
model = Digits()
trainer = L.Trainer(max_epochs=3, accelerator="cpu", enable_progress_bar=False, gradient_clip_val=1.0, logger=False)
trainer.fit(model, train, held_out)
print(f"val_loss: {trainer.callback_metrics['val_loss'].item()!r}")
torch.save(model.state_dict(), "model.pt")
