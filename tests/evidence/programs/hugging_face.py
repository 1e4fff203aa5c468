"""A small BERT made from its configuration, trained on random tokens by the Trainer of transformers."""

import torch
from torch.utils.data import Dataset
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    PrinterCallback,
    Trainer,
    TrainingArguments,
    set_seed,
)


class Tokens(Dataset):
    def __init__(self, count, seed):
        self.tokens = torch.randint(0, 50, (count, 12), generator=torch.Generator().manual_seed(seed))
        self.labels = (self.tokens[:, 0] > self.tokens[:, 1]).long()

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, place):
        return {"input_ids": self.tokens[place], "labels": self.labels[place]}


set_seed(0)
config = BertConfig(
    vocab_size=50, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, num_labels=2
)
arguments = TrainingArguments(
    "checkpoints",
    num_train_epochs=3,
    per_device_train_batch_size=16,
    gradient_accumulation_steps=2,
    learning_rate=2e-3,
    warmup_steps=5,
    eval_strategy="epoch",
    save_strategy="no",
    report_to="none",
    use_cpu=True,
    disable_tqdm=True,
)
model = BertForSequenceClassification(config)
trainer = Trainer(model, arguments, train_dataset=Tokens(480, 1), eval_dataset=Tokens(160, 2))
trainer.remove_callback(PrinterCallback)  # it prints times
trainer.train()
print(f"eval_loss: {trainer.evaluate()['eval_loss']!r}")
torch.save(model.state_dict(), "model.pt")
