# CPU:  docker build --target cpu --tag losslab:cpu .    docker run --rm -v losslab:/losslab/.losslab losslab:cpu
# GPU:  docker build --target gpu --tag losslab:gpu .    docker run --rm --gpus all -v losslab:/losslab/.losslab losslab:gpu
# Both run the pipeline (make repro); a command behind the name runs instead: docker run --rm losslab:cpu make test
# The volume keeps finished trainings. Data sets of paper scale: add -v /your/data:/losslab/data.
FROM python:3.12-slim AS base
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /losslab
COPY . .
# dvc and the notebooks want a repository; the build context leaves .git out.
RUN git init --quiet --initial-branch main \
    && git config user.name losslab && git config user.email losslab@localhost \
    && git add --all && git commit --quiet --message "image"
CMD ["make", "repro"]

FROM base AS cpu
ENV LOSSLAB_DEVICE=cpu
RUN make setup TORCH=cpu

# The default wheels of torch bring their CUDA libraries; the host needs a driver and the NVIDIA container toolkit.
FROM base AS gpu
ENV LOSSLAB_DEVICE=auto
RUN make setup
