"""What the command line says, in English and Portuguese. Messages of errors stay in English."""

from __future__ import annotations

import os
from collections.abc import Mapping

LANGUAGES = ("en", "pt")

TEXTS: Mapping[str, tuple[str, str]] = {
    # --- help
    "app": (
        "Federated learning: one model, many data owners, nobody hands their data over.",
        "Aprendizado federado: um modelo, muitos donos de dados, ninguém entrega os seus.",
    ),
    "cmd.run": ("Train a federated model.", "Treina um modelo federado."),
    "cmd.resume": ("Go on with a run that was interrupted.", "Continua uma execução interrompida."),
    "cmd.replay": ("Repeat a run with the participants it recorded.", "Repete uma execução com os participantes registrados."),
    "cmd.predict": ("Predict with a run's model.", "Prediz com o modelo de uma execução."),
    "cmd.plot": ("Draw a run's metrics as PNG and SVG.", "Desenha as métricas de uma execução em PNG e SVG."),
    "cmd.check": ("Try a task of your own: data, model, one batch.", "Testa uma tarefa sua: dados, modelo, um lote."),
    "cmd.new": ("Start a project of your own in a new folder.", "Começa um projeto seu em uma pasta nova."),
    "cmd.list": (
        "What there is: tasks, strategies, partitioners, stages, presets.",
        "O que há: tarefas, estratégias, particionadores, estágios, predefinições.",
    ),
    "cmd.doctor": ("What this machine has, and what is missing.", "O que esta máquina tem e o que falta."),
    "arg.what": (
        "An experiment file, a preset, my_task.py:Class, or data.csv.",
        "Um arquivo de experimento, uma predefinição, minha_tarefa.py:Classe ou dados.csv.",
    ),
    "arg.run": (
        "A run's folder, or its name under runs/; by default the latest.",
        "A pasta de uma execução ou seu nome em runs/; por padrão, a última.",
    ),
    "arg.run-given": ("A run's folder, or its name under runs/.", "A pasta de uma execução ou seu nome em runs/."),
    "arg.input": ("test:INDEX, an image, a .npy array or a .csv file.", "test:ÍNDICE, uma imagem, um vetor .npy ou um arquivo .csv."),
    "arg.task": ("my_task.py or my_task.py:Class.", "minha_tarefa.py ou minha_tarefa.py:Classe."),
    "arg.folder": ("The folder to make.", "A pasta a criar."),
    "arg.kind": (
        "Only this kind: tasks, strategies, partitioners, stages or presets.",
        "Só este tipo: tasks, strategies, partitioners, stages ou presets.",
    ),
    "opt.target": ("The column of a CSV file to predict.", "A coluna do arquivo CSV a predizer."),
    "opt.client-column": ("The column that says whose row it is.", "A coluna que diz de quem é a linha."),
    "opt.on": ("Where to run.", "Onde executar."),
    "opt.set": ("Change the experiment: section.key=value. Repeatable.", "Muda o experimento: seção.chave=valor. Pode repetir."),
    "opt.workers": ("Worker processes; by default one for each core.", "Processos de trabalho; por padrão, um por núcleo."),
    "opt.out": ("The run's folder; by default runs/NAME-NUMBER.", "A pasta da execução; por padrão, runs/NOME-NÚMERO."),
    "opt.plots": ("The folder for the plots; by default RUN/plots.", "A pasta dos gráficos; por padrão, EXECUÇÃO/plots."),
    "opt.json": ("Print result.json on standard output, and nothing else there.", "Escreve result.json na saída padrão, e mais nada."),
    "opt.json-lines": ("Print JSON.", "Escreve JSON."),
    "opt.quiet": ("Print the run's folder only.", "Escreve só a pasta da execução."),
    "opt.debug": ("Show the traceback of an error.", "Mostra o rastro (traceback) de um erro."),
    "opt.log-level": ("What to log: debug, info, warning or error.", "O que registrar: debug, info, warning ou error."),
    "opt.version": ("Print the version.", "Mostra a versão."),
    # --- a run
    "count.round": ("1 round", "1 rodada"),
    "count.rounds": ("{count} rounds", "{count} rodadas"),
    "count.client": ("1 client", "1 cliente"),
    "count.clients": ("{count} clients", "{count} clientes"),
    "run.seed": ("seed {seed}", "semente {seed}"),
    "run.round": ("Round", "Rodada"),
    "run.refused": ("refused: {names}", "recusados: {names}"),
    "run.left": ("{time} left", "faltam {time}"),
    "run.finished": ("Finished", "Terminou"),
    "run.aborted": ("Stopped early", "Interrompida"),
    "run.error": ("Failed", "Falhou"),
    "run.after": ("after {rounds}", "após {rounds}"),
    "run.folder": ("Result", "Resultado"),
    "run.model": ("Model", "Modelo"),
    "run.reproducible": ("reproducible", "reprodutível"),
    "run.not-reproducible": ("not reproducible", "não reprodutível"),
    "run.next": ("Next", "Agora"),
    "run.to-predict": ("predict", "predizer"),
    "run.to-plot": ("plot", "desenhar"),
    "run.to-resume": ("go on", "continuar"),
    "metric.accuracy": ("accuracy", "acurácia"),
    "metric.loss": ("loss", "perda"),
    "metric.train_loss": ("training loss", "perda de treino"),
    "metric.rmse": ("rmse", "rmse"),
    "metric.mae": ("mae", "mae"),
    "metric.r2": ("r2", "r2"),
    "reason.rounds": ("all rounds done", "todas as rodadas feitas"),
    "reason.target": ("target reached", "meta atingida"),
    "reason.patience": ("no better for a while", "sem melhora há algum tempo"),
    "reason.max-bytes": ("byte budget spent", "orçamento de bytes esgotado"),
    "reason.max-seconds": ("time budget spent", "orçamento de tempo esgotado"),
    "reason.max-epsilon": ("privacy budget spent", "orçamento de privacidade esgotado"),
    "reason.too-few-replies": ("too few replies", "respostas insuficientes"),
    "reason.stop-asked": ("stop asked by {by}", "parada pedida por {by}"),
    "replay.same": ("The model is the same", "O modelo é o mesmo"),
    "replay.other": ("The model is NOT the same", "O modelo NÃO é o mesmo"),
    # --- the other commands
    "predict.class": ("class", "classe"),
    "predict.value": ("value", "valor"),
    "predict.truth": ("true", "verdadeiro"),
    "plot.global": ("Global model", "Modelo global"),
    "plot.loss": ("Loss", "Perda"),
    "plot.together": ("All clients together", "Todos os clientes juntos"),
    "plot.clients": ("Each client", "Cada cliente"),
    "plot.round": ("round", "rodada"),
    "plot.band": ("clients, 10th to 90th percentile", "clientes, percentis 10 a 90"),
    "plot.median": ("median client", "cliente mediano"),
    "plot.server": ("server", "servidor"),
    "plot.clients-mean": ("clients, weighted", "clientes, ponderado"),
    "plot.training": ("training", "treino"),
    "plot.grey-median": ("grey: the median client", "cinza: o cliente mediano"),
    "axis.accuracy": ("accuracy (share of examples)", "acurácia (fração dos exemplos)"),
    "axis.loss": ("loss (mean per example)", "perda (média por exemplo)"),
    "axis.train-loss": ("training loss (mean per example)", "perda de treino (média por exemplo)"),
    "axis.r2": ("R² (1 is perfect)", "R² (1 é perfeito)"),
    "axis.rmse": ("RMSE (in the target's unit)", "RMSE (na unidade do alvo)"),
    "check.data": ("Data", "Dados"),
    "check.parameters": ("Parameters", "Parâmetros"),
    "check.batch": ("One batch", "Um lote"),
    "check.good": ("The task works", "A tarefa funciona"),
    "new.made": ("Made {folder}", "Criada {folder}"),
    "list.tasks": ("Tasks", "Tarefas"),
    "list.strategies": ("Strategies", "Estratégias"),
    "list.partitioners": ("Partitioners", "Particionadores"),
    "list.stages": ("Stages", "Estágios"),
    "list.presets": ("Presets", "Predefinições"),
    "list.wires": ("Wires", "Meios"),
    "doctor.found": ("found", "encontrado"),
    "doctor.missing": ("missing", "falta"),
    "doctor.cores": ("cores", "núcleos"),
    "doctor.memory": ("memory", "memória"),
    "doctor.open-files": ("open files", "arquivos abertos"),
    "doctor.cache": ("cache", "cache"),
    "doctor.writable": ("writable", "gravável"),
    "doctor.not-writable": ("not writable", "não gravável"),
    "doctor.data": ("data", "dados"),
    "doctor.extra": ("extra", "extra"),
    "doctor.runs": ("runs", "execuções"),
    "doctor.bad": ("Not ready to train: {names}", "Não está pronto para treinar: {names}"),
    "list.needs": ("needs pip install 'ciranda[{extra}]'", "requer pip install 'ciranda[{extra}]'"),
    "list.not-yet": ("not built yet", "ainda não construído"),
    "doctor.good": ("Ready to train", "Pronto para treinar"),
    "error": ("Error", "Erro"),
    "error.internal": ("Something went wrong inside", "Algo deu errado por dentro"),
    "error.debug": ("Run again with --debug to see where.", "Repita com --debug para ver onde."),
    "error.interrupted": ("Interrupted", "Interrompido"),
}


def language(environment: Mapping[str, str] | None = None) -> str:
    """ "pt" or "en": CIRANDA_LANG, else what the locale variables say, else English."""
    variables = os.environ if environment is None else environment
    for name in ("CIRANDA_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        if value := variables.get(name, ""):
            return "pt" if value.lower().startswith("pt") else "en"
    return "en"


def say(key: str, **values: object) -> str:
    """The text under `key` in the user's language, with the values filled in."""
    return TEXTS[key][LANGUAGES.index(language())].format(**values)
